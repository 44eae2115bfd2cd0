"""What stands behind the ports. Only `app.bootstrap` imports from here."""
