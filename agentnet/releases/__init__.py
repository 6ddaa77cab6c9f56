"""From logs to serving: candidates are trained from traces, judged by written gates, and released."""
