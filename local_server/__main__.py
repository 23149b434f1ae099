"""`python -m local_server` is `apimarket`."""

from local_server.cli import main

if __name__ == "__main__":
    main()
