"""Files, trees and habits as people really have them."""
