"""A newcomer who types what the README says, in English and in Korean."""
