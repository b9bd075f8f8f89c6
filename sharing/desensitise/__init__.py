"""Takes out of data what names or shows people, places and things: texts by rules and words, video by a detector."""
