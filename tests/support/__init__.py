"""What tests with a real engine share: probe images, the command line, direct jobs, an eye on what is left behind."""
