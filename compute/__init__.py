"""How numbers are made: networks and text become a bundle. Imported before torch, so that its threads wait politely."""

import os

# Threads of one product that wait for each other by spinning take a busy machine from whatever they wait for: two of
# them on two cores with other work to do are five times slower than one. Asleep, they cost little where all is quiet.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
