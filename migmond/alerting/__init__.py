"""Rules that are judged by what is measured: pure, the time is an argument."""
