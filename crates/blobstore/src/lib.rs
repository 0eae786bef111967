//! Objects named by an id that is never used again: memory and file system
