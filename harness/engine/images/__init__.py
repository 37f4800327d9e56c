"""Which image does a step run in, and how is a stand-in made where the real one cannot be had?"""
