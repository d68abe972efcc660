echo x > caps; python3 -c "import os; os.setxattr('caps', 'security.capability', bytes.fromhex('0100000200040000000000000000000000000000'))"
