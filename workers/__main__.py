"""``python -m workers``: what it takes and does stands in ``workers.process``."""

import gc

if __name__ == "__main__":
    # Loading makes no garbage, and looking for some takes a quarter of a process's start. It is
    # looked for from the moment the process is ready.
    gc.disable()
    from pointwork.leaving import leave
    from workers.process import main

    leave(main())
