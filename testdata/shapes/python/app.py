import six

if __name__ == "__main__":
    print("six", six.__version__)
