# The program that the backend was begun for: one thread, which has nobody to wait
# for.
for i in xrange(1000000):
    import os
