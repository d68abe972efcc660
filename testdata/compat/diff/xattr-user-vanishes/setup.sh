python3 -c "import os; os.setxattr('a', 'user.thing', b'x')"
