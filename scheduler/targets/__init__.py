"""The slow loop for unlike speeds: measured throughput becomes target shares, which deciding uses as weights."""
