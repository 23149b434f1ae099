"""Dependency layers: installed once for each set of dependency files, then shared and never changed."""
