# A single thread that only imports what is imported already: it has nobody to
# wait for.
import sys

N = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000

for i in range(N):
    import os
