"""Rows of finished runs as words and pictures. Nothing here trains, and only `pictures` draws."""
