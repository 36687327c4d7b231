//! The end of a story.
