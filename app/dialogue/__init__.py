"""Conversations with a co-host: chat, context, speakers."""
