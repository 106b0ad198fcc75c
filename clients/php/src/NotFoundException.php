<?php

declare(strict_types=1);

namespace Cascade;

/** 404: no such message, or another account's. */
final class NotFoundException extends ApiException
{
}
