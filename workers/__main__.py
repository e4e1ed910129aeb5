"""``python -m workers``: what it takes and does stands in ``workers.process``."""

from pointwork.garbage import collect_seldom
from pointwork.leaving import leave

if __name__ == "__main__":
    collect_seldom()
    from workers.process import main

    leave(main())
