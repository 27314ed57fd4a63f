"""Event streams: what an event camera or a silicon cochlea says, and its binning into count rasters.

t  int64 microseconds, never decreasing      x  right      y  down      p  0 = OFF, 1 = ON
raster(steps): float32 counts (T, 1, P, H, W), P index = p,
    bin k = floor((t - start) * T / duration), start = first event, duration = last - first + 1 unless given
"""
