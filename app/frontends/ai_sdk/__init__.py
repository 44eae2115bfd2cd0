"""`/ai-sdk`: chats of Vercel's AI SDK."""
