"""The registry: which directories are APIs, and what their manifests say."""
