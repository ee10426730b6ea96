"""Where should attractors come from: retrieved, generated, or both?"""
