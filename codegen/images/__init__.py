"""Images: convolutions, Winograd's among them, and the layouts that they want."""
