"""What the world does to the project: files, trees and habits of other people."""
