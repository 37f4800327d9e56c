"""What does the pipeline say? Definitions of version 2020-12-01: models, reading, expressions, conditions, graph."""

from harness.definition import conditions, expressions, parameters, paths
from harness.definition.examine import Examined, examine
from harness.definition.expressions import Reference, Scope, is_static, references, resolve, text_of
from harness.definition.graph import StepGraph, build
from harness.definition.load import read
from harness.definition.models import ParameterDeclaration, PipelineDefinition, PropertyFile, Step
from harness.definition.parameters import parse_values
from harness.definition.resolver import PipelineDAGResolver, PipelineExecutionPlan

__all__ = [
    "Examined",
    "ParameterDeclaration",
    "PipelineDAGResolver",
    "PipelineDefinition",
    "PipelineExecutionPlan",
    "PropertyFile",
    "Reference",
    "Scope",
    "Step",
    "StepGraph",
    "build",
    "conditions",
    "examine",
    "expressions",
    "is_static",
    "parameters",
    "parse_values",
    "paths",
    "read",
    "references",
    "resolve",
    "text_of",
]
