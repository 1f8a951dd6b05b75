"""Command lines: flags, exit statuses, and what is on the screen. Nothing else of the package knows them."""
