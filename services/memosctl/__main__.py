"""`python -m memosctl`."""

from memosctl.main import main

if __name__ == "__main__":
    main()
