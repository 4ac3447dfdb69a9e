"""What a block costs here: ``python -m visattn.bench``."""

from visattn.bench.models import main

if __name__ == "__main__":
    main()
