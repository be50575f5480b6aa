// Loaded into each process of the rig: none outlives whoever started it.
process.on('disconnect', () => process.exit(1));
