"""Where does data live? Buckets as folders, staging, publishing, archives."""
