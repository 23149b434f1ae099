"""Publishing from this machine to marketplaces, and pulling from them: decided in plan.py, done by the rest."""
