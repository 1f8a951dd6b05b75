"""Pictures of finished runs. matplotlib is imported where a picture is drawn, and nowhere else."""
