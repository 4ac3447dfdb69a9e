from .export import (
    Exported as Exported,
    export_model as export_model,
)
from .programs import (
    Dynamic as Dynamic,
    free_sizes as free_sizes,
)
