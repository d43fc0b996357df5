import compute as compute  # before torch: it says how threads wait for each other
