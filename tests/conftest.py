"""What holds for every test: hypothesis does not time its examples, for a busy machine is no defect of the program."""

from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
