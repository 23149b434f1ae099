"""How each database comes to its present tables: one file a database; a step that was released never changes."""
