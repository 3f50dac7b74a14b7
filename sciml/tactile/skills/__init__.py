"""Skills: motions of the sensor, found by gradients through contact, checked on finer meshes."""
