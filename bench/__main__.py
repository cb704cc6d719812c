"""`python -m bench`, from the repository's root."""

from bench.run import main

if __name__ == "__main__":
    main()
