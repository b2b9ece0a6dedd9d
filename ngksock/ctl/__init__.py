"""The console programs: ngkctl and ngkhook.  No Twisted is in them: they start at once."""
