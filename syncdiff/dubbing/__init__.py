"""Dub a video: find its faces, choose whose mouth is generated, and write the same video with lips that say a sound."""
