"""Many people at once on one machine: the site on one core, the crowd on the other.

    python -m benchmarks.load --database postgres                 stages of 1 to 100 people, then a sudden crowd
    python -m benchmarks.load --database sqlite --stages --soak 1800 --soak-users 12

The figures say how two shared cores bear it; they are no statement of capacity.
"""
