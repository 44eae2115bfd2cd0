"""`/ag-ui`: runs of AG-UI clients."""
