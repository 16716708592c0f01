"""The build of the site: Sphinx extensions, the gallery's table, the peers."""
