"""The grader's own machinery: supervision of submissions, reference answers, points."""
