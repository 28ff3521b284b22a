"""Stage 7: figures, each with the frame it draws."""
