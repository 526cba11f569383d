"""Where numbers come from. A collector looks at one source; it knows no panel, no page, no catalogue."""
