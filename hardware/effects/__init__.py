"""What happens to a cell: small frozen objects that devices are composed of. Numbers live in the devices, not here.

spread      how far a conductance lies from where it should: programming error, read noise
ageing      what time does to a programmed conductance
conduction  how the current departs from G V
forming     which cells of a pristine array form at a voltage, and to which conductance
telegraph   random telegraph noise (experimental)
"""
