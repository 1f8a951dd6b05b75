"""Command lines: the only place that knows flags, exit statuses and the screen."""
