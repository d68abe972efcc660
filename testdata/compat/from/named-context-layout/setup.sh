python3 layout.py
